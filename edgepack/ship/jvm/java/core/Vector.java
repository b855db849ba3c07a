package edgepack.module;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.NonNull;
import org.jspecify.annotations.Nullable;

/**
 * A text's embedding; PackModel.similarity compares two. cut: the text was longer than the model takes. weights: of a model for sparse
 * vectors (SPLADE) the same by token, without those that are 0, the largest first; else null. codes: of a model that is built with
 * --vectors the same in fewer bits, a byte a dimension or a bit a dimension with the first in the highest bit; else null.
 */
public final class Vector {
    public final float @NonNull [] values;
    public final boolean cut;
    public final @Nullable Map<@NonNull String, @NonNull Float> weights;

    public final byte @Nullable [] codes;

    Vector(float[] values, boolean cut, Map<String, Float> weights, byte[] codes) {
        this.values = values;
        this.cut = cut;
        this.weights = weights;
        this.codes = codes;
    }

    static Map<String, Float> weights(float[] values, Tokenizer tokenizer) {
        List<Integer> places = new ArrayList<>();
        for (int index = 0; index < values.length; index++) {
            if (values[index] > 0) {
                places.add(index);
            }
        }
        places.sort((first, second) -> Float.compare(values[second], values[first]));
        Map<String, Float> weights = new LinkedHashMap<>();
        for (int index : places) {
            weights.put(tokenizer.token(index), values[index]);
        }
        return weights;
    }

    @Override
    public @NonNull String toString() {
        return Arrays.toString(values) + (cut ? " (cut)" : "");
    }
}
