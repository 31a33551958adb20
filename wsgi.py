"""What a server loads. A wrong setting stops the start with one line."""

import sys

from app import create_app
from app.core.errors import ConfigError
from app.web.logs import set_up_logs

try:
    app = create_app()
except ConfigError as error:
    sys.exit(error.detail)
set_up_logs(app.extensions["config"].log)
