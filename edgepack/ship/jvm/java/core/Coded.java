package edgepack.module;

import java.nio.Buffer; // its methods under its own name: ByteBuffer's own came with later Androids
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * weights.coded, as edgepack's docs/coded-weights.md describes it: read, checked and decoded. No length that stands in the file is
 * trusted: each is held against what the module states before anything is allocated.
 */
final class Coded {
    private static final byte[] MAGIC = "EPCODED\n".getBytes(StandardCharsets.US_ASCII);
    private static final int VERSION = 1;
    private static final int DEFLATE = 1;
    private static final int HEADER = 96;
    private static final int CHUNK_ENTRY = 36;
    private static final int SMALLEST_CHUNK = 1 << 16;
    private static final int LARGEST_CHUNK = 1 << 18;
    private static final int LONGER = 1 << 10; // no codec makes a chunk longer than by this
    private static final String AGAIN = ": install the app again";

    private final ByteBuffer content;
    private final String name;
    private final int bytes;
    private final List<Chunk> chunks = new ArrayList<>();

    private static final class Chunk {
        final String part;
        final int at;
        final int coded;
        final int goal;
        final int bytes;
        final byte[] sha256;

        Chunk(String part, int at, int coded, int goal, int bytes, byte[] sha256) {
            this.part = part;
            this.at = at;
            this.coded = coded;
            this.goal = goal;
            this.bytes = bytes;
            this.sha256 = sha256;
        }
    }

    /** content: all of weights.coded. name: for messages. bytes, sha256: what the module states of the file that it decodes to. */
    Coded(ByteBuffer content, String name, int bytes, String sha256) {
        this.content = content.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        this.name = name;
        this.bytes = bytes;
        readIndex(sha256);
    }

    private void readIndex(String sha256) {
        int size = content.limit();
        if (size < HEADER) {
            throw damaged(name + " is cut off: it has " + size + " bytes");
        }
        if (!Arrays.equals(bytesAt(0, MAGIC.length), MAGIC)) {
            throw damaged(name + " is no file of coded weights");
        }
        int version = content.getShort(8) & 0xffff;
        if (version != VERSION) {
            throw damaged(name + " has version " + version + ", and this module reads " + VERSION);
        }
        int codec = content.getShort(10) & 0xffff;
        if (codec != DEFLATE) {
            throw damaged(name + " has the codec " + codec + ", which this module has no decoder for");
        }
        if (content.getLong(16) != bytes || !hexadecimal(bytesAt(32, 32)).equals(sha256)) {
            throw damaged(name + " decodes to another file than the module states");
        }
        int chunkBytes = content.getInt(12);
        int indexBytes = content.getInt(28);
        if (chunkBytes < SMALLEST_CHUNK || chunkBytes > LARGEST_CHUNK || indexBytes < 0 || indexBytes > size - HEADER) {
            throw damaged(name + " has lengths in its header that cannot be");
        }
        if (!Arrays.equals(hashed(bytesAt(HEADER, indexBytes)), bytesAt(64, 32))) {
            throw damaged("the index of " + name + " is damaged");
        }
        if (!addsUp(content.getInt(24), chunkBytes, HEADER + indexBytes)) {
            throw damaged("the index of " + name + " does not add up");
        }
    }

    /** Reads the tables of parts and of chunks; whether they are the whole decoded file, and the file to its end. */
    private boolean addsUp(int count, int chunkBytes, int end) {
        List<String> names = new ArrayList<>();
        List<Integer> sizes = new ArrayList<>();
        long sum = 0;
        int at = HEADER;
        for (int part = 0; part < count; part++) {
            if (at + 10 > end) {
                return false;
            }
            int nameBytes = content.getShort(at) & 0xffff;
            long partBytes = content.getLong(at + 2);
            at += 10;
            if (at + nameBytes > end || partBytes <= 0 || partBytes > bytes) {
                return false;
            }
            names.add(new String(bytesAt(at, nameBytes), StandardCharsets.UTF_8));
            sizes.add((int) partBytes);
            sum += partBytes;
            at += nameBytes;
        }
        if (count < 0 || sum != bytes) {
            return false;
        }
        long place = end;
        int goal = 0;
        for (int part = 0; part < count; part++) {
            for (int done = 0; done < sizes.get(part); ) {
                if (at + CHUNK_ENTRY > end) {
                    return false;
                }
                int coded = content.getInt(at);
                int decoded = Math.min(chunkBytes, sizes.get(part) - done);
                if (coded < 0 || coded > decoded + LONGER || place + coded > content.limit()) {
                    return false;
                }
                chunks.add(new Chunk(names.get(part), (int) place, coded, goal, decoded, bytesAt(at + 4, 32)));
                at += CHUNK_ENTRY;
                place += coded;
                goal += decoded;
                done += decoded;
            }
        }
        return at == end && place == content.limit() && goal == bytes;
    }

    /** The decoded file, in memory that no garbage collector moves. Chunks are decoded on so many threads at once. */
    ByteBuffer decoded(int threads) {
        ByteBuffer whole = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
        ExecutorService pool = Executors.newFixedThreadPool(Math.max(1, threads));
        try {
            List<Future<?>> waited = new ArrayList<>();
            for (int number = 0; number < chunks.size(); number++) {
                int which = number;
                waited.add(pool.submit(() -> decode(which, whole)));
            }
            for (Future<?> task : waited) {
                task.get();
            }
        } catch (ExecutionException error) {
            throw error.getCause() instanceof RuntimeException ? (RuntimeException) error.getCause() : new PackException(name, error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new PackException("opening the model was interrupted", error);
        } finally {
            pool.shutdownNow();
        }
        return whole;
    }

    private void decode(int number, ByteBuffer whole) {
        Chunk chunk = chunks.get(number);
        byte[] content = inflated(bytesAt(chunk.at, chunk.coded), chunk.bytes);
        if (content == null || !Arrays.equals(hashed(content), chunk.sha256)) {
            throw damaged("chunk " + number + " of " + name + " is damaged: it holds a part of " + chunk.part);
        }
        ByteBuffer room = whole.duplicate();
        ((Buffer) room).position(chunk.goal);
        room.put(content);
    }

    /** So many bytes; null where it is no whole stream of exactly that length. */
    private static byte[] inflated(byte[] coded, int count) {
        Inflater inflater = new Inflater(true);
        try {
            inflater.setInput(coded);
            byte[] decoded = new byte[count + 1]; // one byte more, so that a longer stream is seen
            int at = 0;
            while (at < decoded.length && !inflater.finished()) {
                int more = inflater.inflate(decoded, at, decoded.length - at);
                if (more == 0 && (inflater.needsInput() || inflater.needsDictionary())) {
                    break;
                }
                at += more;
            }
            return at == count && inflater.finished() && inflater.getRemaining() == 0 ? Arrays.copyOf(decoded, count) : null;
        } catch (DataFormatException error) {
            return null;
        } finally {
            inflater.end();
        }
    }

    private byte[] bytesAt(int at, int count) {
        byte[] bytes = new byte[count];
        ByteBuffer part = content.duplicate();
        ((Buffer) part).position(at);
        part.get(bytes);
        return bytes;
    }

    private static byte[] hashed(byte[] content) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(content);
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    private static String hexadecimal(byte[] digest) {
        StringBuilder text = new StringBuilder();
        for (byte value : digest) {
            text.append(Character.forDigit((value >> 4) & 15, 16)).append(Character.forDigit(value & 15, 16));
        }
        return text.toString();
    }

    private static PackException damaged(String problem) {
        return new PackException(problem + AGAIN);
    }
}
