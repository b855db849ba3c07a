package edgepack.module;

/**
 * A text as the model takes it.
 *
 * <p>starts, ends: spans of the text in code points, 0 and 0 for special tokens. words: the word (or piece) of each token,
 * -1 for special ones. parts: 0 for the first text, 1 for the second, -1 for special tokens. cut: whether tokens were left out.
 */
public final class Encoding {
    public final int[] ids;
    public final int[] typeIds;
    public final int[] starts;
    public final int[] ends;
    public final int[] words;
    public final int[] parts;
    public final boolean cut;

    Encoding(int size, boolean cut) {
        ids = new int[size];
        typeIds = new int[size];
        starts = new int[size];
        ends = new int[size];
        words = new int[size];
        parts = new int[size];
        this.cut = cut;
    }
}
