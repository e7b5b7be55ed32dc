"""Terms of disclosure that may be chosen and that may not."""

from __future__ import annotations

import pytest

from archivecolor.errors import UsageError
from archivecolor.options import OTHER_SOURCE_TYPES, Digest, Disclosure, SourceType


@pytest.mark.parametrize("term", SourceType)
def test_the_terms_that_may_be_chosen(term: str) -> None:
    assert Disclosure(source_type=term).source_type == term
    assert len({Disclosure(source_type=t).digest_fields(Digest.PHOTO)["source_type"] for t in SourceType}) == len(
        SourceType
    )


@pytest.mark.parametrize("term", [*OTHER_SOURCE_TYPES, "CompositeWithTrainedAlgorithmicMedia", ""])
def test_the_terms_that_may_not(term: str) -> None:
    with pytest.raises(UsageError, match="--digital-source-type"):
        Disclosure(source_type=term)
