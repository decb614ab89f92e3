// The four ways to refuse a request. Whatever the call wrote is gone then.

/** A refusal; throw one of its subclasses. */
export class Failure extends Error {
  /** @param {"invalid" | "not-found" | "conflict" | "failed"} tag */
  constructor(tag, message) {
    super(message);
    this.name = new.target.name;
    this.tag = tag;
  }
}

/** The request makes no sense (HTTP 400). */
export class Invalid extends Failure {
  constructor(message) {
    super("invalid", message);
  }
}

/** What the request is about does not exist (HTTP 404). */
export class NotFound extends Failure {
  constructor(message) {
    super("not-found", message);
  }
}

/** The request contradicts the state that it met (HTTP 409). */
export class Conflict extends Failure {
  constructor(message) {
    super("conflict", message);
  }
}

/** Anything else that the guest could not do (HTTP 422). */
export class Failed extends Failure {
  constructor(message) {
    super("failed", message);
  }
}
