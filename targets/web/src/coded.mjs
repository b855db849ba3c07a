// weights.coded, as docs/coded-weights.md describes it: read, checked and decoded with what browsers and Node.js ship.
//
// No length that stands in the file is trusted: each is held against what the pack states before anything is allocated.

const MAGIC = "EPCODED\n";
const VERSION = 1;
const HEADER_BYTES = 96;
const CHUNK_ENTRY_BYTES = 36;
const SMALLEST_CHUNK = 1 << 16;
const LARGEST_CHUNK = 1 << 18;
const LONGER = 1 << 10; // no codec makes a chunk longer than by this
const AT_ONCE = 8; // chunks that are decoded beside one another
const AGAIN = "copy or install the pack again";

export class Damaged extends Error {
  constructor(problem, fix = AGAIN) {
    super(`${problem} (${fix})`);
    Object.assign(this, { name: "Damaged", problem, fix });
  }
}

/** The decoded file, of stated.bytes bytes. content: all bytes of weights.coded; stated: `coded` of the pack. */
export async function decoded(content, stated) {
  const name = stated.coded;
  const index = await readIndex(content, stated);
  const decode = await CODECS[index.codec](name);
  const whole = new Uint8Array(stated.bytes);
  let next = 0;
  const worker = async () => {
    while (next < index.chunks.length) {
      const number = next;
      next += 1;
      const { part, at, coded, goal, bytes, sha256 } = index.chunks[number];
      const room = whole.subarray(goal, goal + bytes);
      const isWhole = await decode(content.subarray(at, at + coded), room);
      if (!isWhole || (await hexOfHash(room)) !== sha256) throw new Damaged(`chunk ${number} of ${name} is damaged: it holds a part of ${part}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return whole;
}

async function readIndex(content, { coded: name, bytes: expected, sha256 }) {
  if (content.length < HEADER_BYTES) throw new Damaged(`${name} is cut off: it has ${content.length} bytes`);
  const header = new DataView(content.buffer, content.byteOffset, HEADER_BYTES);
  if (new TextDecoder().decode(content.subarray(0, 8)) !== MAGIC) throw new Damaged(`${name} is no file of coded weights`);
  const version = header.getUint16(8, true);
  if (version !== VERSION) throw new Damaged(`${name} has version ${version}, and this code reads ${VERSION}`, "build the pack again, or update what reads it");
  const codec = header.getUint16(10, true);
  if (!Object.hasOwn(CODECS, codec)) throw new Damaged(`${name} has the codec ${codec}, which this code does not know`, "update what reads the pack");
  const chunkBytes = header.getUint32(12, true);
  const indexBytes = header.getUint32(28, true);
  if (header.getBigUint64(16, true) !== BigInt(expected) || hex(content.subarray(32, 64)) !== sha256) {
    throw new Damaged(`${name} decodes to another file than the pack states`);
  }
  if (chunkBytes < SMALLEST_CHUNK || chunkBytes > LARGEST_CHUNK || indexBytes > content.length - HEADER_BYTES) {
    throw new Damaged(`${name} has lengths in its header that cannot be`);
  }
  const index = content.subarray(HEADER_BYTES, HEADER_BYTES + indexBytes);
  if ((await hexOfHash(index)) !== hex(content.subarray(64, 96))) throw new Damaged(`the index of ${name} is damaged`);
  const chunks = placedChunks(index, header.getUint32(24, true), { chunkBytes, whole: expected, end: content.length });
  if (!chunks) throw new Damaged(`the index of ${name} does not add up`);
  return { codec, chunks };
}

/** Each chunk with its place in the file and in the decoded one; null where they do not add up. */
function placedChunks(index, count, { chunkBytes, whole, end }) {
  const view = new DataView(index.buffer, index.byteOffset, index.length);
  const parts = [];
  let at = 0;
  for (let number = 0; number < count; number += 1) {
    if (at + 10 > index.length) return null;
    const nameBytes = view.getUint16(at, true);
    const bytes = Number(view.getBigUint64(at + 2, true));
    at += 10;
    if (at + nameBytes > index.length || bytes <= 0 || bytes > whole) return null;
    parts.push({ part: new TextDecoder().decode(index.subarray(at, at + nameBytes)), bytes });
    at += nameBytes;
  }
  if (parts.reduce((sum, { bytes }) => sum + bytes, 0) !== whole) return null;
  const chunks = [];
  let place = HEADER_BYTES + index.length;
  let goal = 0;
  for (const { part, bytes } of parts) {
    for (let done = 0; done < bytes; done += chunkBytes) {
      if (at + CHUNK_ENTRY_BYTES > index.length) return null;
      const coded = view.getUint32(at, true);
      const decodedBytes = Math.min(chunkBytes, bytes - done);
      if (coded > decodedBytes + LONGER) return null;
      chunks.push({ part, at: place, coded, goal, bytes: decodedBytes, sha256: hex(index.subarray(at + 4, at + CHUNK_ENTRY_BYTES)) });
      at += CHUNK_ENTRY_BYTES;
      place += coded;
      goal += decodedBytes;
    }
  }
  return at === index.length && place === end && goal === whole ? chunks : null;
}

// What decodes one chunk into `room`: true where it is one whole stream of exactly so many bytes.
const CODECS = { 1: inflater, 2: zstd };

async function inflater() {
  return async (coded, room) => {
    const stream = new DecompressionStream("deflate-raw");
    const writer = stream.writable.getWriter();
    const written = writer.write(coded).then(() => writer.close());
    written.catch(() => {}); // the reader below is told too
    let at = 0;
    try {
      for (const reader = stream.readable.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (at + value.length > room.length) {
          reader.cancel().catch(() => {});
          return false;
        }
        room.set(value, at);
        at += value.length;
      }
      await written; // fails where anything stands behind the stream
    } catch {
      return false;
    }
    return at === room.length;
  };
}

async function zstd(name) {
  const zlib = await nodeZlib();
  if (!zlib?.zstdDecompressSync) {
    throw new Damaged(`${name} is coded with zstd, which this runtime of JavaScript has no decoder for`, "build the pack with --codec deflate");
  }
  return async (coded, room) => {
    try {
      const content = zlib.zstdDecompressSync(coded, { maxOutputLength: room.length });
      if (found.length !== room.length) return false;
      room.set(content);
      return true;
    } catch {
      return false;
    }
  };
}

async function nodeZlib() {
  if (globalThis.process?.versions?.node === undefined) return null;
  const library = "node:zlib"; // a name that a bundler for browsers does not follow
  return import(/* @vite-ignore */ library);
}

async function hexOfHash(bytes) {
  const library = "node:crypto"; // Node 18 has no global crypto
  const { subtle } = globalThis.crypto ?? (await import(/* @vite-ignore */ library)).webcrypto;
  return hex(new Uint8Array(await subtle.digest("SHA-256", bytes)));
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
