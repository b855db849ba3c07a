package edgepack.module;

/** A decoder and what it has read so far; for one thread. */
public interface ModelDecoder extends AutoCloseable {
    /** Reads `ids` behind all that was read before; logits of what follows, by token. */
    float[] step(int[] ids);

    @Override
    void close();
}
