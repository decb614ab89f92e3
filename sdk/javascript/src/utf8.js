// Text and bytes. QuickJS has no TextEncoder and no TextDecoder.

/** Bytes that go into one call of String.fromCharCode: more could overflow the guest's stack. */
const CHUNK = 4096;

/**
 * Encodes text as UTF-8; a lone surrogate becomes U+FFFD.
 *
 * @param {string} text
 */
export function encode(text) {
  // What is ASCII, as most keys are, has as many bytes as characters.
  const ascii = new Uint8Array(text.length);
  let at = 0;
  for (; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit > 0x7f) break;
    ascii[at] = unit;
  }
  return at === text.length ? ascii : encodeFrom(text, at, ascii);
}

function encodeFrom(text, start, ascii) {
  const bytes = new Uint8Array(start + (text.length - start) * 3);
  bytes.set(ascii.subarray(0, start));
  let length = start;
  for (let at = start; at < text.length; at++) {
    let point = text.codePointAt(at);
    if (point > 0xffff) at++;
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x80) {
      bytes[length++] = point;
    } else if (point < 0x800) {
      bytes[length++] = 0xc0 | (point >> 6);
      bytes[length++] = 0x80 | (point & 0x3f);
    } else {
      if (point < 0x10000) {
        bytes[length++] = 0xe0 | (point >> 12);
      } else {
        bytes[length++] = 0xf0 | (point >> 18);
        bytes[length++] = 0x80 | ((point >> 12) & 0x3f);
      }
      bytes[length++] = 0x80 | ((point >> 6) & 0x3f);
      bytes[length++] = 0x80 | (point & 0x3f);
    }
  }
  return bytes.slice(0, length);
}

/**
 * Decodes UTF-8; returns undefined where the bytes are none.
 *
 * @param {Uint8Array} bytes
 */
export function decode(bytes) {
  let text = "";
  let units = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++];
    if (first < 0x80) {
      units.push(first);
    } else {
      const more = first < 0xc2 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 0;
      if (more === 0 || at + more > bytes.length) return undefined;
      let point = first & (0x3f >> more);
      for (let left = more; left > 0; left--) {
        const next = bytes[at++];
        if ((next & 0xc0) !== 0x80) return undefined;
        point = (point << 6) | (next & 0x3f);
      }
      // Longer than needed, a surrogate, or beyond Unicode.
      const least = more === 1 ? 0x80 : more === 2 ? 0x800 : 0x10000;
      if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined;
      if (point > 0xffff) {
        units.push(0xd7c0 + (point >> 10), 0xdc00 | (point & 0x3ff));
      } else {
        units.push(point);
      }
    }
    if (units.length >= CHUNK) {
      text += String.fromCharCode.apply(null, units);
      units = [];
    }
  }
  return text + String.fromCharCode.apply(null, units);
}
