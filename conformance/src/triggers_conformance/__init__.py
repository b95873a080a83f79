"""The contracts of triggers' runners and storages, as tests that anybody can run."""
