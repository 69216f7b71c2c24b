"""Vector instructions for the compiled kernels.

A value of the type `Lanes` is 1 to 4 vectors of eight numbers that lie beside each other in an array. Each function below compiles
to one or two instructions per vector. They are needed because the compiler does not vectorise loops over rows that are read
through an index, as a lattice reads them.

The number of vectors must be known when a kernel is compiled: it is the length of a tuple of zeros, the argument `blocks`.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

WIDTH = 8
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
_EXP_TERMS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
NEGLIGIBLE_EXPONENT = -46.0
"""exp below this, 1e-20, counts as zero: smaller numbers in the lattice would slow the processor down."""


class Lanes(types.Type):
    """Vectors of eight numbers of one type."""

    def __init__(self, dtype: Any, num_blocks: int) -> None:
        """
        Args:
            dtype: float32 or float64, as numba knows them.
            num_blocks: number of vectors.
        """
        self.dtype, self.num_blocks = dtype, num_blocks
        super().__init__(name=f"Lanes({dtype}, {num_blocks})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """Lanes for the compiler: an array of vectors."""

    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        vector = ir.VectorType(dmm.lookup(fe_type.dtype).get_value_type(), WIDTH)
        super().__init__(dmm, fe_type, ir.ArrayType(vector, fe_type.num_blocks))


def _pack(context: Any, builder: Any, lanes: Lanes, vectors: list[Any]) -> Any:
    out = ir.Constant(context.get_value_type(lanes), ir.Undefined)
    for number, vector in enumerate(vectors):
        out = builder.insert_value(out, vector, number)
    return out


def _unpack(builder: Any, lanes: Lanes, value: Any) -> list[Any]:
    return [builder.extract_value(value, number) for number in range(lanes.num_blocks)]


def _vector_type(context: Any, lanes: Lanes) -> ir.VectorType:
    return ir.VectorType(context.get_value_type(lanes.dtype), WIDTH)


def _constant(vector_type: ir.VectorType, number: float) -> ir.Constant:
    return ir.Constant(vector_type, [number] * WIDTH)


def _shuffle(builder: Any, first: Any, second: Any, order: list[int]) -> Any:
    """The numbers of two vectors at the positions `order`; those of the second are counted from eight."""
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), order))


def _broadcast(builder: Any, scalar: Any, vector_type: ir.VectorType) -> Any:
    """A vector that holds the scalar eight times."""
    undefined = ir.Constant(vector_type, ir.Undefined)
    return _shuffle(builder, builder.insert_element(undefined, scalar, ir.IntType(32)(0)), undefined, [0] * WIDTH)


def _pointers(context: Any, builder: Any, lanes: Lanes, array_type: Any, array: Any, index: Any) -> list[Any]:
    """Pointers to the vectors that begin at an index of a flat array."""
    data = context.make_array(array_type)(context, builder, array).data
    vector = _vector_type(context, lanes).as_pointer()
    places = [builder.add(index, ir.Constant(index.type, WIDTH * number)) for number in range(lanes.num_blocks)]
    return [builder.bitcast(builder.gep(data, [place]), vector) for place in places]


def _elementwise(operation: Any) -> Any:
    """Code that applies an operation to each vector; scalar arguments are broadcast first."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = signature.return_type
        vector = _vector_type(context, lanes)
        columns = []
        for kind, value in zip(signature.args, args, strict=True):
            if isinstance(kind, Lanes):
                columns.append(_unpack(builder, kind, value))
            else:
                columns.append([_broadcast(builder, value, vector)] * lanes.num_blocks)
        return _pack(context, builder, lanes, [operation(builder, *row) for row in zip(*columns, strict=True)])

    return generate


def _multiply_add(builder: Any, first: Any, second: Any, added: Any) -> Any:
    return builder.fadd(builder.fmul(first, second, flags=("contract",)), added, flags=("contract",))


def _maximum(builder: Any, first: Any, second: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", first, second), first, second)


@intrinsic
def load(typing: Any, array: Any, index: Any, blocks: Any) -> Any:
    """Load the lanes that begin at an index of a flat array, without a check of its bounds."""
    signature = Lanes(array.dtype, len(blocks))(array, types.intp, blocks)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes, kind = signature.return_type, signature.args[0]
        loaded = [builder.load(at) for at in _pointers(context, builder, lanes, kind, args[0], args[1])]
        for instruction in loaded:
            instruction.align = kind.dtype.bitwidth // 8
        return _pack(context, builder, lanes, loaded)

    return signature, generate


@intrinsic
def store(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Store lanes at an index of a flat array, without a check of its bounds."""
    signature = types.void(array, types.intp, lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, _, lanes = signature.args
        places = _pointers(context, builder, lanes, kind, args[0], args[1])
        for vector, place in zip(_unpack(builder, lanes, args[2]), places, strict=True):
            builder.store(vector, place).align = kind.dtype.bitwidth // 8
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def broadcast(typing: Any, scalar: Any, blocks: Any) -> Any:
    """Lanes that hold the scalar in every place."""
    signature = Lanes(scalar, len(blocks))(scalar, blocks)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = signature.return_type
        vector = _broadcast(builder, args[0], _vector_type(context, lanes))
        return _pack(context, builder, lanes, [vector] * lanes.num_blocks)

    return signature, generate


@intrinsic
def add(typing: Any, first: Any, second: Any) -> Any:
    """first + second."""
    return first(first, second), _elementwise(lambda builder, a, b: builder.fadd(a, b))


@intrinsic
def multiply_add(typing: Any, scale: Any, lanes: Any, added: Any) -> Any:
    """scale x lanes + added, where the scale is one number, or lanes too."""
    scale = scale if isinstance(scale, Lanes) else lanes.dtype
    return lanes(scale, lanes, added), _elementwise(_multiply_add)


@intrinsic
def multiply(typing: Any, scale: Any, lanes: Any) -> Any:
    """scale x lanes."""
    return lanes(lanes.dtype, lanes), _elementwise(lambda builder, a, b: builder.fmul(a, b))


def _exponential(builder: Any, lowered: Any) -> Any:
    """exp of float32 numbers up to 0, with an error of 2e-7: exp(x) = 2^k exp(r), and a polynomial of degree 7 for exp(r)."""
    vector = lowered.type
    whole_type = ir.VectorType(ir.IntType(32), WIDTH)
    floor = _constant(vector, NEGLIGIBLE_EXPONENT)
    counts = builder.fcmp_ordered(">", lowered, floor)
    x = builder.select(counts, lowered, floor)
    whole = builder.fptosi(_multiply_add(builder, x, _constant(vector, _LOG2_E), _constant(vector, -0.5)), whole_type)
    power = builder.sitofp(whole, vector)
    rest = _multiply_add(builder, power, _constant(vector, -_LN2_HIGH), x)
    rest = _multiply_add(builder, power, _constant(vector, -_LN2_LOW), rest)
    series = _constant(vector, _EXP_TERMS[0])
    for term in _EXP_TERMS[1:]:
        series = _multiply_add(builder, series, rest, _constant(vector, term))
    series = _multiply_add(builder, series, builder.fmul(rest, rest), builder.fadd(rest, _constant(vector, 1.0)))
    bits = builder.shl(
        builder.add(whole, ir.Constant(whole_type, [127] * WIDTH)), ir.Constant(whole_type, [23] * WIDTH)
    )
    return builder.select(counts, builder.fmul(series, builder.bitcast(bits, vector)), _constant(vector, 0.0))


@intrinsic
def exp_minus(typing: Any, lanes: Any, highest: Any) -> Any:
    """exp(lanes - highest) of float32 numbers of which none is above `highest`; zero below 1e-20."""

    def operation(builder: Any, vector: Any, spread: Any) -> Any:
        return _exponential(builder, builder.fsub(vector, spread))

    return lanes(lanes, lanes.dtype), _elementwise(operation)


def _reduction(operation: Any) -> Any:
    """Code that combines all numbers into one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = _unpack(builder, signature.args[0], args[0])
        joined = vectors[0]
        for vector in vectors[1:]:
            joined = operation(builder, joined, vector)
        for distance in (4, 2, 1):
            order = [(place + distance) % WIDTH for place in range(WIDTH)]
            rotated = _shuffle(builder, joined, ir.Constant(joined.type, ir.Undefined), order)
            joined = operation(builder, joined, rotated)
        return builder.extract_element(joined, ir.IntType(32)(0))

    return generate


@intrinsic
def reduce_max(typing: Any, lanes: Any) -> Any:
    """The largest of the numbers."""
    return lanes.dtype(lanes), _reduction(_maximum)


@intrinsic
def reduce_sum(typing: Any, lanes: Any) -> Any:
    """The sum of the numbers."""
    return lanes.dtype(lanes), _reduction(lambda builder, a, b: builder.fadd(a, b))


def transpose_8x8(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of eight vectors: halves, then quarters, then single numbers are exchanged across the diagonal."""
    for size in (4, 2, 1):
        upper = [place if not place & size else place - size + WIDTH for place in range(WIDTH)]
        lower = [place + size if not place & size else place + WIDTH for place in range(WIDTH)]
        exchanged = list(rows)
        for number in range(WIDTH):
            if not number & size:
                pair = rows[number], rows[number + size]
                exchanged[number], exchanged[number + size] = (
                    _shuffle(builder, *pair, order) for order in (upper, lower)
                )
        rows = exchanged
    return rows


@intrinsic
def transpose_tile(
    typing: Any,
    source: Any,
    at: Any,
    source_step: Any,
    source_rows: Any,
    target: Any,
    place: Any,
    target_step: Any,
    target_rows: Any,
    otherwise: Any,
) -> Any:
    """Transpose a tile of 8 x 8 numbers from one flat array into another.

    The rows of the tile lie `source_step` apart and become columns of the target, whose rows lie `target_step` apart. Only the first
    `source_rows` rows are read, and the others are set to `otherwise`; only the first `target_rows` rows are written.
    """
    whole = types.intp
    signature = types.void(source, whole, whole, whole, target, whole, whole, whole, source.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, at, source_step, source_rows, target, place, target_step, target_rows, otherwise = args
        lanes = Lanes(signature.args[0].dtype, 1)
        align = lanes.dtype.bitwidth // 8
        missing = _broadcast(builder, otherwise, _vector_type(context, lanes))
        rows = []
        for number in range(WIDTH):
            exists = builder.icmp_signed("<", ir.Constant(at.type, number), source_rows)
            offset = builder.mul(source_step, ir.Constant(at.type, number))
            step = builder.select(exists, offset, ir.Constant(at.type, 0))
            (pointer,) = _pointers(context, builder, lanes, signature.args[0], source, builder.add(at, step))
            row = builder.load(pointer)
            row.align = align
            rows.append(builder.select(exists, row, missing))
        for number, row in enumerate(transpose_8x8(builder, rows)):
            with builder.if_then(builder.icmp_signed("<", ir.Constant(at.type, number), target_rows), likely=True):
                step = builder.mul(target_step, ir.Constant(at.type, number))
                (pointer,) = _pointers(context, builder, lanes, signature.args[4], target, builder.add(place, step))
                builder.store(row, pointer).align = align
        return context.get_dummy_value()

    return signature, generate
