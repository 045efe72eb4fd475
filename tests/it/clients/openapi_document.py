"""openapi-spec-validator on the OpenAPI document that the issuer serves, and on the one behind its page."""

import json
from urllib.request import urlopen

from openapi_spec_validator import OpenAPIV31SpecValidator

from steps import PARTS, done, same

for path in ("/openapi.json", "/docs/openapi.json"):
    with urlopen(PARTS["issuer"] + path, timeout=20) as answer:
        document = json.load(answer)
    same(document["openapi"].startswith("3.1."), True, "the version")
    errors = [f"{list(error.absolute_path)}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    same(errors, [], path)
    done(path)
