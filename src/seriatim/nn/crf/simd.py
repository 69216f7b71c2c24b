"""Eight numbers at once: the vector instructions that the compiled kernels are written with.

A value of the type `Lanes` is 1 to 4 blocks of eight numbers that lie beside each other in an array. Each function below
becomes one or two instructions a block. They exist because the compiler's own search for such instructions fails on rows that
are read through an index, which is all that a lattice does.

The number of blocks must be known when a kernel is compiled: it is the length of a tuple of zeros, the argument `blocks`.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

WIDTH = 8
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
_EXP_TERMS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
NEGLIGIBLE_EXPONENT = -46.0
"""exp of less than this, 1e-20, counts as zero: it keeps numbers so small that processors slow down out of the lattice."""


class Lanes(types.Type):
    """Blocks of eight numbers of one type."""

    def __init__(self, dtype: Any, num_blocks: int) -> None:
        """
        Args:
            dtype: float32 or float64, as numba knows them.
            num_blocks: how many times eight.
        """
        self.dtype, self.num_blocks = dtype, num_blocks
        super().__init__(name=f"Lanes({dtype}, {num_blocks})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """Lanes as the compiler sees them: an array of vectors."""

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


def _spread(builder: Any, scalar: Any, vector_type: ir.VectorType) -> Any:
    """The scalar in all eight places."""
    nothing = ir.Constant(vector_type, ir.Undefined)
    one = builder.insert_element(nothing, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH))


def _pointers(context: Any, builder: Any, lanes: Lanes, array_type: Any, array: Any, index: Any) -> list[Any]:
    """Where each block lies in a flat array."""
    data = context.make_array(array_type)(context, builder, array).data
    vector = _vector_type(context, lanes).as_pointer()
    places = [builder.add(index, ir.Constant(index.type, WIDTH * number)) for number in range(lanes.num_blocks)]
    return [builder.bitcast(builder.gep(data, [place]), vector) for place in places]


def _mapped(operation: Any) -> Any:
    """Code that applies an operation on vectors block by block; scalars among the arguments are spread first."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = signature.return_type
        vector = _vector_type(context, lanes)
        columns = []
        for kind, value in zip(signature.args, args, strict=True):
            if isinstance(kind, Lanes):
                columns.append(_unpack(builder, kind, value))
            else:
                columns.append([_spread(builder, value, vector)] * lanes.num_blocks)
        return _pack(context, builder, lanes, [operation(builder, *row) for row in zip(*columns, strict=True)])

    return generate


def _multiply_add(builder: Any, first: Any, second: Any, added: Any) -> Any:
    return builder.fadd(builder.fmul(first, second, flags=("contract",)), added, flags=("contract",))


def _maximum(builder: Any, first: Any, second: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", first, second), first, second)


@intrinsic
def load(typing: Any, array: Any, index: Any, blocks: Any) -> Any:
    """The lanes that begin at an index of a flat array. Nothing checks that they lie inside."""
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
    """Writes lanes to a flat array, from an index on. Nothing checks that they lie inside."""
    signature = types.void(array, types.intp, lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, _, lanes = signature.args
        places = _pointers(context, builder, lanes, kind, args[0], args[1])
        for vector, place in zip(_unpack(builder, lanes, args[2]), places, strict=True):
            builder.store(vector, place).align = kind.dtype.bitwidth // 8
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def fill(typing: Any, scalar: Any, blocks: Any) -> Any:
    """Lanes that all hold the scalar."""
    signature = Lanes(scalar, len(blocks))(scalar, blocks)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = signature.return_type
        vector = _spread(builder, args[0], _vector_type(context, lanes))
        return _pack(context, builder, lanes, [vector] * lanes.num_blocks)

    return signature, generate


@intrinsic
def add(typing: Any, first: Any, second: Any) -> Any:
    """first + second."""
    return first(first, second), _mapped(lambda builder, a, b: builder.fadd(a, b))


@intrinsic
def add_scaled(typing: Any, scale: Any, lanes: Any, added: Any) -> Any:
    """scale x lanes + added, where the scale is one number, or lanes too."""
    scale = scale if isinstance(scale, Lanes) else lanes.dtype
    return lanes(scale, lanes, added), _mapped(_multiply_add)


@intrinsic
def scaled(typing: Any, scale: Any, lanes: Any) -> Any:
    """scale x lanes."""
    return lanes(lanes.dtype, lanes), _mapped(lambda builder, a, b: builder.fmul(a, b))


def _exponential(builder: Any, lowered: Any) -> Any:
    """exp of float32 numbers that are not positive, to 2e-7: exp(x) = 2^k exp(r), a polynomial of degree 7 for the rest r."""
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
def exponential_below(typing: Any, lanes: Any, highest: Any) -> Any:
    """exp(lanes - highest), for float32 where no lane is above the highest; zero below 1e-20."""

    def operation(builder: Any, vector: Any, spread: Any) -> Any:
        return _exponential(builder, builder.fsub(vector, spread))

    return lanes(lanes, lanes.dtype), _mapped(operation)


def _reduced(operation: Any) -> Any:
    """Code that joins all lanes into one number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = _unpack(builder, signature.args[0], args[0])
        joined = vectors[0]
        for vector in vectors[1:]:
            joined = operation(builder, joined, vector)
        for distance in (4, 2, 1):
            order = [(place + distance) % WIDTH for place in range(WIDTH)]
            turned = builder.shuffle_vector(
                joined,
                ir.Constant(joined.type, ir.Undefined),
                ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), order),
            )
            joined = operation(builder, joined, turned)
        return builder.extract_element(joined, ir.IntType(32)(0))

    return generate


@intrinsic
def largest(typing: Any, lanes: Any) -> Any:
    """The largest of the numbers."""
    return lanes.dtype(lanes), _reduced(_maximum)


@intrinsic
def total(typing: Any, lanes: Any) -> Any:
    """The sum of the numbers."""
    return lanes.dtype(lanes), _reduced(lambda builder, a, b: builder.fadd(a, b))


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """The transpose of eight vectors of eight: halves, quarters and single numbers change places across the diagonal."""
    for size in (4, 2, 1):
        upper = [place if not place & size else place - size + WIDTH for place in range(WIDTH)]
        lower = [place + size if not place & size else place + WIDTH for place in range(WIDTH)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), order) for order in (upper, lower)]
        turned = list(rows)
        for number in range(WIDTH):
            if not number & size:
                pair = rows[number], rows[number + size]
                turned[number], turned[number + size] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        rows = turned
    return rows


@intrinsic
def turn_tile(
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
    """Transposes a tile of 8 x 8 numbers from one flat array to another.

    Rows of the tile lie `source_step` apart and become columns of the target, whose rows lie `target_step` apart. Only the first
    `source_rows` rows are read, the others count as `otherwise`; only the first `target_rows` are written.
    """
    whole = types.intp
    signature = types.void(source, whole, whole, whole, target, whole, whole, whole, source.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, at, source_step, source_rows, target, place, target_step, target_rows, otherwise = args
        lanes = Lanes(signature.args[0].dtype, 1)
        align = lanes.dtype.bitwidth // 8
        missing = _spread(builder, otherwise, _vector_type(context, lanes))
        rows = []
        for number in range(WIDTH):
            there = builder.icmp_signed("<", ir.Constant(at.type, number), source_rows)
            step = builder.select(
                there, builder.mul(source_step, ir.Constant(at.type, number)), ir.Constant(at.type, 0)
            )
            (pointer,) = _pointers(context, builder, lanes, signature.args[0], source, builder.add(at, step))
            row = builder.load(pointer)
            row.align = align
            rows.append(builder.select(there, row, missing))
        for number, row in enumerate(_turned(builder, rows)):
            with builder.if_then(builder.icmp_signed("<", ir.Constant(at.type, number), target_rows), likely=True):
                step = builder.mul(target_step, ir.Constant(at.type, number))
                (pointer,) = _pointers(context, builder, lanes, signature.args[4], target, builder.add(place, step))
                builder.store(row, pointer).align = align
        return context.get_dummy_value()

    return signature, generate
