"""What obstore raised, told as our errors: who refused, what, where, and what to do."""

from __future__ import annotations

import re
from typing import Literal

from stepbridge.failures import IntegrityProblem, ObjectMissing, StoreProblem

Verb = Literal["read", "write"]
_STATUS = re.compile(r"status code: (\d{3})")
_RETRIED = re.compile(r"after (?P<done>[1-9]\d*) retries(?:, max_retries: ?(?P<most>\d+))?")
_CODE = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_DENIED = frozenset({"401", "403"})
_CREDENTIALS = (
    "169.254.169.254",
    "credential",
    "sts.",
    "AssumeRole",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
)
_RIGHTS = {"read": "s3:GetObject and s3:ListBucket", "write": "s3:PutObject and s3:PutObjectTagging"}
_PASSING = frozenset(
    {"NoSuchUpload", "RequestTimeout", "SlowDown", "OperationAborted", "ConditionalRequestConflict"}
)
_ELSEWHERE = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)


class Trouble:
    """One error of the client, taken apart."""

    def __init__(self, error: Exception) -> None:
        text = str(error).split("\n\nDebug source", 1)[0].strip()
        status = _STATUS.search(text)
        code = _CODE.search(text)
        self.error = error
        self.text = re.sub(r"\s+", " ", re.sub(r"<\?xml.*", "", text, flags=re.DOTALL)).strip(" :")
        self.status = status[1] if status else ""
        self.code = code[1] if code else ""

    @property
    def exists(self) -> bool:
        """A conditional write was refused, or lost a race (409)."""
        names = {"AlreadyExistsError", "PreconditionError", "NotModifiedError"}
        return type(self.error).__name__ in names or self.status in {"409", "412"}

    @property
    def missing(self) -> bool:
        """No such object."""
        gone = isinstance(self.error, FileNotFoundError) or self.status == "404"
        return gone and self.code not in {"NoSuchBucket", "NoSuchUpload"}

    @property
    def passing(self) -> bool:
        """Another try may succeed: a broken connection, an overloaded server, an upload that was lost."""
        if self.code in _PASSING:
            return True
        if self.status:
            return (self.status[0] == "5" and self.status != "501") or self.status in {"408", "429"}
        return type(self.error).__name__ == "GenericError" and "builder error" not in self.text

    @property
    def exhausted(self) -> bool:
        """The client itself has tried again and given up."""
        found = _RETRIED.search(self.text)
        return found is not None and (not found["most"] or int(found["done"]) >= int(found["most"]))

    def problem(self, verb: Verb, uri: str, endpoint: str) -> StoreProblem:
        """Our error for it.

        :param uri: the object or prefix that was asked for.
        :param endpoint: the server's URL, or the words for AWS.
        """
        if self.code == "NoSuchBucket":
            bucket = uri.removeprefix("s3://").partition("/")[0]
            return StoreProblem(
                "SB306",
                f"{endpoint} has no bucket {bucket!r}",
                place=uri,
                hint="make the bucket, or correct the store's root, endpoint or region",
            )
        if self.missing:
            return ObjectMissing("SB302", f"{endpoint} has no such object", place=uri)
        if verb == "read" and self.exists:
            return IntegrityProblem(
                "SB304",
                "it is not what it was when it was identified",
                place=uri,
                hint="do not write to an input while a step uses it, then run the step again",
            )
        if self.status == "416":
            return IntegrityProblem(
                "SB304",
                "it is shorter than recorded",
                place=uri,
                hint="it was changed or cut after it was written: run the step that makes it again",
            )
        if self.code in _ELSEWHERE or self.status == "301":
            return StoreProblem(
                "SB311",
                f"the bucket lies in another region: {self.text}",
                place=uri,
                hint="set the store's region, or AWS_REGION, to the bucket's",
            )
        return self._refusal(verb, uri, endpoint)

    def _refusal(self, verb: Verb, uri: str, endpoint: str) -> StoreProblem:
        if self.status == "501":
            return StoreProblem(
                "SB308",
                f"{endpoint} does not implement what was asked: {self.text}",
                place=uri,
                hint="use a server that keeps If-None-Match on PUT",
            )
        unknown = any(mark in self.text or mark in self.code for mark in _CREDENTIALS)
        if unknown and self.code != "AccessDenied":
            return StoreProblem(
                "SB305",
                f"{endpoint} could not be asked with the credentials at hand: {self.text}",
                place=uri,
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the pod's role",
            )
        if self.status in _DENIED:
            needs = _RIGHTS[verb]
            return StoreProblem(
                "SB305" if verb == "read" else "SB307",
                f"{endpoint} denied the {verb} ({self.code or self.status})",
                place=uri,
                hint=f"give the role {needs} on the store's prefix, and the use of its KMS key",
            )
        hint = "look at the server's log for the reason"
        if not self.status:
            hint = "check that the endpoint is right and reachable from here, then run the task again"
        return StoreProblem(
            "SB305", f"{endpoint} did not carry out the {verb}: {self.text}", place=uri, hint=hint
        )
