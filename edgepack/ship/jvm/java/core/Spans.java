package edgepack.module;

import java.util.Arrays;

/** A text cut into matches of something and what lies between them. */
final class Spans {
    private int[] values = new int[48];
    private int count;
    private boolean anyMatch;

    void add(int start, int end, boolean match) {
        if (count * 3 == values.length) {
            values = Arrays.copyOf(values, values.length * 2);
        }
        values[count * 3] = start;
        values[count * 3 + 1] = end;
        values[count++ * 3 + 2] = match ? 1 : 0;
        anyMatch |= match;
    }

    int count() {
        return count;
    }

    int start(int index) {
        return values[index * 3];
    }

    int end(int index) {
        return values[index * 3 + 1];
    }

    boolean match(int index) {
        return values[index * 3 + 2] != 0;
    }

    boolean anyMatch() {
        return anyMatch;
    }

    Spans inverted() {
        Spans result = new Spans();
        for (int index = 0; index < count; index++) {
            result.add(start(index), end(index), !match(index));
        }
        return result;
    }

    /** What Hugging Face's tokenizers makes of matches under one of its behaviours. */
    Spans behaving(String behaviour) {
        switch (behaviour) {
            case "Removed":
                return without();
            case "Isolated":
                return this;
            case "Contiguous":
                return merged((before, now) -> before == now);
            case "MergedWithPrevious":
                return merged((before, now) -> now && !before);
            case "MergedWithNext":
                return mergedWithNext();
            default:
                throw new PackException("tokenizer.json: this code does not know the behaviour " + behaviour);
        }
    }

    private Spans without() {
        Spans result = new Spans();
        for (int index = 0; index < count; index++) {
            if (!match(index)) {
                result.add(start(index), end(index), false);
            }
        }
        return result;
    }

    private interface Joins {
        boolean with(boolean before, boolean now);
    }

    private Spans merged(Joins joins) {
        Spans result = new Spans();
        boolean before = false;
        for (int index = 0; index < count; index++) {
            if (joins.with(before, match(index)) && result.count > 0) {
                result.values[result.count * 3 - 2] = end(index);
            } else {
                result.add(start(index), end(index), false);
            }
            before = match(index);
        }
        return result;
    }

    private Spans mergedWithNext() {
        Spans reversed = new Spans();
        boolean before = false;
        for (int index = count - 1; index >= 0; index--) {
            if (match(index) && !before && reversed.count > 0) {
                reversed.values[reversed.count * 3 - 3] = start(index);
            } else {
                reversed.add(start(index), end(index), false);
            }
            before = match(index);
        }
        Spans result = new Spans();
        for (int index = reversed.count - 1; index >= 0; index--) {
            result.add(reversed.start(index), reversed.end(index), false);
        }
        return result;
    }
}
