from pathlib import Path

ROOT = Path(__file__).parents[3]
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in (ROOT / "Dockerfile").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]


def test_the_base_is_pinned_and_slim() -> None:
    """Both stages stand on one release of Python and of Debian, never on a moving tag."""
    bases = {base.split()[0] for base in _all("FROM")}

    assert bases == {"python:3.12-slim-bookworm"}


def test_the_process_is_not_root() -> None:
    """The last stage ends as a user of its own."""
    assert _all("USER")[-1] == "carillon"


def test_the_image_is_the_command_line() -> None:
    """What is given to `docker run` is a command of `carillon`."""
    assert _all("ENTRYPOINT") == ['["carillon"]']


def test_what_is_copied_exists_and_is_let_in() -> None:
    """Every source of a COPY is in the tree, and .dockerignore lets it into the build."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [source for copy in _all("COPY") if "--from" not in copy for source in copy.split()[:-1]]

    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignore


def test_the_database_stays_outside() -> None:
    """The image has no MongoDB: the extra that brings one is for laptops."""
    assert not any("[local" in command for command in _all("RUN"))


def _all(instruction: str) -> list[str]:
    return [arguments for name, arguments in INSTRUCTIONS if name == instruction]
