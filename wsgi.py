"""What a server loads. A wrong setting stops the start with one line."""

import logging
import sys

from app import create_app
from app.core.errors import ConfigError

logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
try:
    app = create_app()
except ConfigError as error:
    sys.exit(error.detail)
