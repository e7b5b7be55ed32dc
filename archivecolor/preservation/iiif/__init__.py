"""A finished folder as an IIIF site: a folder that any web server can serve, for Mirador, the Universal Viewer, ...

    SITE/collection.json                 the collection of all manifests
    SITE/box/manifest.json               the pictures of one folder
    SITE/box/a.tif/original/info.json    a picture with its tiles
    SITE/box/a.tif/coloured/info.json    (of several pages: SITE/box/a.tif/original/2/info.json, ...)

`site.publish` makes it; `tiles` writes the pictures, `manifests` what viewers open, `resume` knows what is done.
"""
