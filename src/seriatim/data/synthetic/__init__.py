"""Images generated from random numbers: rosette plants, and scenes with objects of several classes.

sources             the data kinds `rosettes:` and `scenes:`
rosettes            one plant: its geometry (`rosette_geometry`), then its rendering (`rosette_rendering`)
scenes              one scene: which objects lie where, and what of them is visible; `scene_rendering` colours it
scene_classes       the classes of objects, whose shapes are in `shapes_living` and `shapes_objects`
curves, drawing     the curves of shapes, and the pixels that they cover
noise               the random textures of both
"""
