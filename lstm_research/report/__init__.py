"""`lstm-research report`: a store as one HTML page that opens from disk.

`data` gathers what the page shows, `charts` says how it is drawn (Altair), `page` puts both and the
libraries into one file, `write` writes it, again and again while a sweep runs.
"""
