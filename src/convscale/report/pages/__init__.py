"""One page made of records: a chapter per run, study or search, of sections, of texts, tables and charts."""
