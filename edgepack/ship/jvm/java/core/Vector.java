package edgepack.module;

/** A text's embedding; compare two by their cosine. cut: the text was longer than the model takes. */
public final class Vector {
    public final float[] values;
    public final boolean cut;

    Vector(float[] values, boolean cut) {
        this.values = values;
        this.cut = cut;
    }
}
