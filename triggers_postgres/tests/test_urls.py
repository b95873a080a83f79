"""How a PostgreSQL storage may be named: as libpq, and as SQLAlchemy, write it too."""

import pytest

from triggers_core import Plugins
from triggers_postgres import PostgresStorage

ADDRESS = "postgres@127.0.0.1:5432/test?schema=named_by_url"


SCHEMES = ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_way_to_write_the_scheme_is_understood(scheme):
    storage = Plugins().open_storage(f"{scheme}://{ADDRESS}")

    assert isinstance(storage, PostgresStorage)
    assert repr(storage) == repr(PostgresStorage.from_url(f"postgresql://{ADDRESS}"))
    storage.close()
