// The settings of the deployment.

import { get } from "wasi:config/store@0.2.0-rc.1";

/** A setting; undefined where it is not set. What is thrown where it cannot be read is for the caller to say. */
export function setting(key, Unreadable) {
  try {
    return get(key) ?? undefined;
  } catch (error) {
    if (error?.payload?.tag === undefined) throw error;
    throw new Unreadable(`the setting ${key} cannot be read: ${error.payload.val}`);
  }
}
