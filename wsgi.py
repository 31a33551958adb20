"""What a server loads. A wrong setting stops the start with one line."""

import sys

from app import create_app
from app.errors import ConfigError

try:
    app = create_app()
except ConfigError as error:
    sys.exit(error.detail)
