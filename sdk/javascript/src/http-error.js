// What a component of wasi:http throws to answer at once.

/**
 * A response to be thrown: its message is the body. From 500 on, whatever the request wrote is gone; below, it is kept, so check
 * first and write then.
 */
export class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.name = "HttpError";
    this.status = status;
  }
}

/** One of status 500. */
export class ServerError extends HttpError {
  constructor(message) {
    super(500, message);
  }
}
