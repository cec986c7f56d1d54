"""The committed messages are those of the pinned engine."""

import subprocess
import sys
from pathlib import Path

from tools.generate_abci import strip_gogoproto

ROOT = Path(__file__).parents[3]


def test_generated_modules_are_those_of_the_pinned_engine():
    """Generating them again from the engine's own sources changes nothing."""
    command = [sys.executable, "-m", "tools.generate_abci", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert (0, "") == (done.returncode, done.stdout), done.stderr


def test_only_what_concerns_go_is_left_out():
    """Options of gogoproto go, whatever their shape; other options and the fields themselves stay."""
    text = """
import "gogoproto/gogo.proto";
import "tendermint/crypto/keys.proto";
import "google/protobuf/timestamp.proto";
message A { // a comment
  option (gogoproto.equal) = true;
  int64 gas = 5 [json_name = "gas"];
  B b = 1 [(gogoproto.nullable) = false, (gogoproto.jsontag) = "b,omitempty", deprecated = true];
  C c = 2
      [(gogoproto.nullable) = false];
}
"""
    stripped = strip_gogoproto(text)
    assert "gogoproto" not in stripped
    assert "comment" not in stripped
    for kept in (
        'int64 gas = 5 [json_name = "gas"];',
        "B b = 1 [deprecated = true];",
        'import "tallystick/ordering/cometbft/generated/crypto_keys.proto";',
        'import "google/protobuf/timestamp.proto";',
    ):
        assert kept in stripped
