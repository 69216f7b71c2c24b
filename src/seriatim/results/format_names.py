"""The names of the formats that `seriatim segment` writes, for its `--help`, which imports nothing else."""

FORMAT_SUMMARIES = {
    "labels": "label map, PNG or TIFF",
    "overlay": "numbered outlines on the image",
    "coco": "COCO JSON of the call",
    "counts": "table of counts of the call",
    "measurements": "table of all objects of the call",
    "roi": "regions for ImageJ",
    "geojson": "detections for QuPath",
    "labelme": "shapes for Labelme",
    "yolo": "outlines as Ultralytics has them",
    "voc": "PASCAL VOC palette images",
    "voc-border": "the same, with outlines marked void",
    "cityscapes": "submission to the Cityscapes benchmark",
}
"""Name of a format -> what it is."""

DEFAULT_FORMATS = ("labels", "overlay", "coco", "counts")
"""Written unless told otherwise."""
