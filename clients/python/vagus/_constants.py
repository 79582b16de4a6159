"""Every default and wire name of the client, in one place."""

DEFAULT_TARGET = "localhost:50051"
"""Where a client looks for its server."""

DEFAULT_TIMEOUT_S = 600.0
"""Seconds that one call may take, retries included."""

DEFAULT_MAX_RETRIES = 2
"""Attempts after the first one."""

RETRY_BASE_DELAY_S = 0.1
"""Longest wait before the first retry, in seconds; it doubles with each further one."""

RETRY_MAX_DELAY_S = 2.0
"""Longest wait before any retry, in seconds, unless the server asks for more."""

MAX_RECEIVE_BYTES = 256 * 1024 * 1024
"""Largest message accepted. gRPC's own 4 MiB is less than a long text read on a whole pack."""

TENANT_KEY = "vagus-tenant"
"""Request metadata: whose request this is."""

REQUEST_ID_KEY = "vagus-request-id"
"""Response metadata: the id under which the server logged the request."""

AUTHORIZATION_KEY = "authorization"
"""Request metadata: the bearer token."""

STATUS_DETAILS_KEY = "grpc-status-details-bin"
"""Trailing metadata: a serialised google.rpc.Status."""

RECEIPT_MISMATCH = "RECEIPT_MISMATCH"
"""Reason of an error that says the device did something else than what was asked."""

CERTIFICATE_VARIABLE, PRIVATE_KEY_VARIABLE = "VAGUS_CLIENT_CERT", "VAGUS_CLIENT_KEY"
"""Environment variables from which the command line takes the files of its own certificate."""

API_KEY_VARIABLE = "VAGUS_API_KEY"
"""Environment variable that holds the API key where none is given."""
