package edgepack.module;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.zip.CRC32;
import org.jspecify.annotations.NonNull;

/**
 * Codes of texts' vectors, and the nearest of them to a query. Of {@link PackModel#index}. Threads may search it while nobody adds.
 *
 * <p>IllegalArgumentException: a vector of another width, or bytes of another model's index.
 */
public final class VectorIndex {
    /** Candidates by Hamming distance for each text that is wanted, where a call names none. */
    public static final int RESCORED = 4;

    private static final byte[] MAGIC = "EPINDEX\n".getBytes(StandardCharsets.US_ASCII);
    private static final int VERSION = 1;
    private static final int HEAD = 40;
    private final VectorCodes coder;
    private byte[] codes = new byte[0];
    private int count;

    /** place: of a text, in the order in which they were added. score: about the cosine or dot product, as the model compares. */
    public static final class Hit {
        public final int place;
        public final double score;

        Hit(int place, double score) {
            this.place = place;
            this.score = score;
        }

        @Override
        public @NonNull String toString() {
            return place + " (" + score + ")";
        }
    }

    VectorIndex(VectorCodes coder) {
        this.coder = coder;
    }

    public int size() {
        return count;
    }

    /** The place of the vector. */
    public int add(@NonNull Vector vector) {
        byte[] code = coder.code(checked(vector));
        if ((count + 1L) * coder.bytes > Integer.MAX_VALUE - 8) {
            throw new IllegalArgumentException("the index is full: a Java array holds no more codes");
        }
        if ((count + 1) * coder.bytes > codes.length) {
            codes = Arrays.copyOf(codes, (int) Math.min(Integer.MAX_VALUE - 8, Math.max(64L, 2L * count + 1) * coder.bytes));
        }
        System.arraycopy(code, 0, codes, count * coder.bytes, coder.bytes);
        return count++;
    }

    /** The nearest texts, the nearest first, and of equals the one that was added first. */
    public @NonNull List<@NonNull Hit> search(@NonNull Vector query, int count) {
        return search(query, count, RESCORED);
    }

    /**
     * rescore: of binary codes so many times `count` are taken by Hamming distance, and ordered by the query's numbers; 0: by Hamming
     * distance alone, and the score is the share of equal bits less that of others.
     */
    public @NonNull List<@NonNull Hit> search(@NonNull Vector query, int count, int rescore) {
        if (count < 1 || rescore < 0) {
            throw new IllegalArgumentException("count is less than 1, or rescore less than 0");
        }
        float[] values = checked(query);
        if (!coder.isBinary()) {
            return scored(values, places(this.count), count);
        }
        int[] distances = distances(coder.code(values));
        int[] nearest = nearest(distances, (int) Math.min(this.count, (long) count * Math.max(1, rescore)));
        if (rescore > 0) {
            Arrays.sort(nearest);
            return scored(values, nearest, count);
        }
        List<Hit> hits = new ArrayList<>();
        for (int place : nearest) {
            hits.add(new Hit(place, 1 - 2.0 * distances[place] / coder.width));
        }
        return hits;
    }

    private static int[] places(int count) {
        int[] places = new int[count];
        for (int at = 0; at < count; at++) {
            places[at] = at;
        }
        return places;
    }

    /** Bits that differ from each code, eight bytes at once. */
    private int[] distances(byte[] asked) {
        int[] distances = new int[count];
        ByteBuffer stored = ByteBuffer.wrap(codes);
        ByteBuffer query = ByteBuffer.wrap(asked);
        for (int place = 0; place < count; place++) {
            int from = place * coder.bytes;
            int at = 0;
            for (; at + 8 <= coder.bytes; at += 8) {
                distances[place] += Long.bitCount(stored.getLong(from + at) ^ query.getLong(at));
            }
            for (; at < coder.bytes; at++) {
                distances[place] += Integer.bitCount((codes[from + at] ^ asked[at]) & 0xFF);
            }
        }
        return distances;
    }

    /** The places of the smallest distances in order, of equals the first: counted, as there are few distances. */
    private int[] nearest(int[] distances, int most) {
        int[] starts = new int[8 * coder.bytes + 2]; // a restored code may have bits after its last dimension
        for (int distance : distances) {
            starts[distance + 1]++;
        }
        for (int distance = 1; distance < starts.length; distance++) {
            starts[distance] += starts[distance - 1];
        }
        int[] nearest = new int[most];
        for (int place = 0; place < distances.length; place++) {
            int rank = starts[distances[place]]++;
            if (rank < most) {
                nearest[rank] = place;
            }
        }
        return nearest;
    }

    private List<Hit> scored(float[] query, int[] places, int most) {
        VectorCodes.Scores scores = coder.new Scores(query);
        List<Hit> hits = new ArrayList<>();
        for (int place : places) {
            hits.add(new Hit(place, scores.score(codes, place * coder.bytes)));
        }
        hits.sort((first, second) -> Double.compare(second.score, first.score)); // of equals the first stays the first
        return new ArrayList<>(hits.subList(0, Math.min(most, hits.size())));
    }

    private float[] checked(Vector vector) {
        if (vector.values.length != coder.width) {
            throw new IllegalArgumentException("the vector has " + vector.values.length + " numbers, the model's have " + coder.width);
        }
        for (float value : vector.values) {
            if (Float.isNaN(value) || Float.isInfinite(value)) {
                throw new IllegalArgumentException("the vector holds what is no number");
            }
        }
        return vector.values;
    }

    /** A head of 40 bytes and the codes one behind the other: the same as the other modules write. */
    public byte @NonNull [] toBytes() {
        ByteBuffer bytes = ByteBuffer.allocate(Math.addExact(HEAD, count * coder.bytes)).order(ByteOrder.LITTLE_ENDIAN);
        bytes.put(MAGIC).putShort((short) VERSION).putShort((short) kind()).putInt(coder.width).putInt(count).putInt(crc(codes, 0, count * coder.bytes));
        bytes.put(coder.id.getBytes(StandardCharsets.US_ASCII)).put(codes, 0, count * coder.bytes);
        return bytes.array();
    }

    /** This index with the codes of bytes that toBytes gave, here or in another module of the same model. */
    public @NonNull VectorIndex restore(byte @NonNull [] content) {
        ByteBuffer bytes = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN);
        if (content.length < HEAD || !Arrays.equals(Arrays.copyOf(content, MAGIC.length), MAGIC) || bytes.getShort(8) != VERSION) {
            throw new IllegalArgumentException("this is no index of this version: save the index again");
        }
        String id = new String(content, 24, 16, StandardCharsets.US_ASCII);
        if (bytes.getShort(10) != kind() || bytes.getInt(12) != coder.width || !id.equals(coder.id)) {
            throw new IllegalArgumentException("the index is of another model: make it again with this one");
        }
        long stated = bytes.getInt(16) & 0xFFFFFFFFL;
        if (content.length - HEAD != stated * coder.bytes) {
            throw new IllegalArgumentException("the index is not whole: copy or make it again");
        }
        if (bytes.getInt(20) != crc(content, HEAD, content.length - HEAD)) {
            throw new IllegalArgumentException("the index is damaged: copy or make it again");
        }
        codes = Arrays.copyOfRange(content, HEAD, content.length);
        count = (int) stated;
        return this;
    }

    private static int crc(byte[] content, int from, int length) {
        CRC32 crc = new CRC32();
        crc.update(content, from, length);
        return (int) crc.getValue();
    }

    private int kind() {
        return coder.isBinary() ? 2 : 1;
    }
}
