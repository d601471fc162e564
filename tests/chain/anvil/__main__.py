import subprocess
import sys

from tests.chain.anvil import NotInstalled, install

try:
    told = subprocess.run([install(), "--version"], capture_output=True, text=True, check=True)
except (NotInstalled, OSError, subprocess.CalledProcessError) as error:
    print(f"test-chain is skipped: {error}")
    sys.exit(1)
print(told.stdout.splitlines()[0])
