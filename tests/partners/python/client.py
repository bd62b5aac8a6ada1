"""What every partner's program needs: a channel, a token, the retry rules, streams that go on, and signatures."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import jwt
from google.rpc import error_details_pb2
from grpc_status import rpc_status

Code = grpc.StatusCode
# The retry rules of the suite's README: its own word decides; without one, nobody knows what was done.
AGAIN = {"OVERLOADED", "RATE_LIMITED", "DRAINING", "OUTCOME_UNKNOWN", "DEADLINE", "INTERNAL"}
BROKEN = {"UNAVAILABLE", "UNKNOWN", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED"}
KEEPALIVE = [("grpc.keepalive_time_ms", 20_000), ("grpc.keepalive_timeout_ms", 5_000)]


class Refused(Exception):
    """What the retailer said: the code, the reason from ErrorInfo, a sentence, and what else it named."""

    def __init__(self, error: grpc.RpcError) -> None:
        self.code, self.reason, self.retry_after_s = error.code(), "", 0.0
        self.metadata: dict[str, str] = {}
        status = rpc_status.from_call(error)
        for detail in status.details if status else []:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(retry):
                self.retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
        self.again = self.reason in AGAIN if self.reason else self.code.name in BROKEN
        super().__init__(f"{self.code.name} {self.reason or '-'}: {error.details()} {self.metadata or ''}".rstrip())

    def wait(self, tries: int) -> None:
        time.sleep(max(self.retry_after_s, random.uniform(0.5, 1.0) * min(2.0, 0.05 * 2**tries)))


class Partner:
    """Somebody who calls, as `partner.json` says."""

    def __init__(self, file: Path) -> None:
        self.config, self.folder = json.loads(file.read_text()), file.parent
        url = urlsplit(self.config["endpoint"])
        if url.scheme == "https":
            self.channel = grpc.secure_channel(url.netloc, grpc.ssl_channel_credentials(), KEEPALIVE)
        else:
            self.channel = grpc.insecure_channel(url.netloc, KEEPALIVE)

    def auth(self) -> list[tuple[str, str]]:
        """Read anew for every call: a token lives an hour, and a new one is in the file long before."""
        return [("authorization", "Bearer " + (self.folder / self.config["token_file"]).read_text().strip())]

    def call(self, method: Callable[..., Any], request: Any, tries_max: int = 20) -> Any:
        """A call with a deadline. What may not have been done is asked again: the same request, hence the same key."""
        for tries in range(tries_max):
            try:
                return method(request, timeout=10, metadata=self.auth())
            except grpc.RpcError as error:
                refused = Refused(error)
                if not refused.again or tries == tries_max - 1:
                    raise refused from None
                refused.wait(tries)

    def stream(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """A stream to its end. When it breaks it begins again at `request.cursor`, which the caller moves on."""
        tries = 0
        while True:
            stream = method(request, metadata=self.auth())
            try:
                for message in stream:
                    tries = 0
                    yield message
                return
            except grpc.RpcError as error:
                refused = Refused(error)
                if not refused.again:
                    raise refused from None
                print(f"stream   broke, goes on from its cursor: {refused}", flush=True)
                refused.wait(tries)
                tries += 1
            finally:
                stream.cancel()

    def sign(self, typ: str, **claims: Any) -> str:
        """A statement about money: a compact JWS under the key that the retailer registered."""
        key = (self.folder / self.config["payment_key_file"]).read_bytes()
        return jwt.encode(claims, key, algorithm="EdDSA", headers={"typ": typ, "kid": self.config["payment_key_id"]})
