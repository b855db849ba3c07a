package edgepack.module;

/** How a vector becomes a code of 8 bits or 1 bit a dimension, as the pack states it. The same as targets/module/search.py. */
final class VectorCodes {
    private static final double WEIGHT_SCALE = 1 << 30; // of the largest weight: sums stay below 2^53, where a double is exact
    final String kind;
    final String id;
    final int width;
    final int bytes;
    private final boolean isUnit;
    private final float[] low;
    private final float[] high;
    private final float[] steps;
    private final float[] thresholds;

    private VectorCodes(Fields answers) {
        Fields codes = answers.object("codes");
        kind = codes.text("kind");
        id = codes.text("id");
        if (!isBinary() && !kind.equals("int8")) {
            throw codes.unknown("kind");
        }
        isUnit = answers.text("similarity").equals("cosine");
        low = floats(codes.numbers("low"));
        high = floats(codes.numbers("high"));
        width = low.length;
        thresholds = isBinary() ? floats(codes.numbers("thresholds")) : new float[width];
        if (high.length != width || thresholds.length != width) {
            throw new PackException("the codes of vectors do not state each dimension");
        }
        bytes = isBinary() ? (width + 7) / 8 : width;
        steps = new float[width];
        for (int at = 0; at < width; at++) {
            float step = (high[at] - low[at]) / 255;
            steps[at] = step == 0 ? 1 : step;
        }
    }

    /** null: the model's vectors have no codes. */
    static VectorCodes of(Manifest manifest) {
        return manifest.answers != null && manifest.answers.has("codes") ? new VectorCodes(manifest.answers) : null;
    }

    boolean isBinary() {
        return kind.equals("binary");
    }

    private static float[] floats(double[] values) {
        float[] result = new float[values.length];
        for (int at = 0; at < result.length; at++) {
            result[at] = (float) values[at];
        }
        return result;
    }

    byte[] code(float[] vector) {
        float[] values = compared(vector);
        byte[] code = new byte[bytes];
        for (int at = 0; at < width; at++) {
            if (isBinary()) {
                code[at >> 3] |= (byte) (values[at] > thresholds[at] ? 0x80 >> (at & 7) : 0);
            } else {
                double level = Math.floor((values[at] - low[at]) / steps[at]);
                code[at] = (byte) (Math.max(0, Math.min(255, level)) - 128);
            }
        }
        return code;
    }

    /** The vector as it is compared: 1 long where that is by cosine. */
    private float[] compared(float[] vector) {
        double sum = 0;
        for (float value : vector) {
            sum += (double) value * value;
        }
        float[] result = vector.clone();
        double length = Math.sqrt(sum);
        for (int at = 0; isUnit && length != 0 && at < result.length; at++) {
            result[at] = (float) (vector[at] / length);
        }
        return result;
    }

    /** About the cosine or dot product of a query with what codes stand for. Codes of a bit are compared by cosine as 1 long again. */
    final class Scores {
        private final Sum ofQuery;
        private final Sum ofSquares; // null: lengths do not count

        Scores(float[] vector) {
            float[] query = compared(vector);
            double[] parts = new double[width];
            double[] added = new double[width];
            double[] squares = new double[width];
            double[] lowSquares = new double[width];
            for (int at = 0; at < width; at++) {
                double least = low[at];
                double most = high[at];
                parts[at] = query[at] * (isBinary() ? most - least : steps[at]);
                added[at] = query[at] * (isBinary() ? least : least + 128.5 * steps[at]);
                squares[at] = most * most - least * least;
                lowSquares[at] = least * least;
            }
            ofQuery = new Sum(parts, added);
            ofSquares = isBinary() && isUnit ? new Sum(squares, lowSquares) : null;
        }

        double score(byte[] codes, int from) {
            double score = ofQuery.of(codes, from);
            if (ofSquares == null) {
                return score;
            }
            double squares = ofSquares.of(codes, from);
            return score / Math.sqrt(squares > 0 ? squares : 1);
        }
    }

    /** A code's levels times parts that are whole numbers, whose sums have no order, and the sum of what is added. */
    private final class Sum {
        private final long[] whole = new long[width];
        private final double scale;
        private final double base;

        Sum(double[] parts, double[] added) {
            double most = 0;
            double sum = 0;
            for (int at = 0; at < width; at++) {
                most = Math.max(most, Math.abs(parts[at]));
                sum += added[at];
            }
            for (int at = 0; at < width && most != 0; at++) {
                whole[at] = (long) Math.floor(parts[at] * (WEIGHT_SCALE / most) + 0.5);
            }
            scale = most / WEIGHT_SCALE;
            base = sum;
        }

        double of(byte[] codes, int from) {
            long sum = 0;
            for (int at = 0; at < width; at++) {
                long level = isBinary() ? codes[from + (at >> 3)] >> (7 - (at & 7)) & 1 : codes[from + at];
                sum += level * whole[at];
            }
            return sum * scale + base;
        }
    }
}
