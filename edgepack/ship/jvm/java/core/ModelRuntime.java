package edgepack.module;

/** What runs the model's file: onnxruntime, LiteRT, or a test's. Safe to call from many threads at once. */
public interface ModelRuntime extends AutoCloseable {
    /** Opens the model of files whose hashes were checked. */
    interface Opener {
        ModelRuntime open(ModuleFiles files, Manifest manifest, int threads);
    }

    /** One array for each of the manifest's outputs: its values, or, of a model per token, those of each token in turn. */
    float[][] run(int[] ids, int[] typeIds);

    /** Reads and writes one text with room for so many tokens. */
    ModelDecoder decoder(int positions);

    @Override
    void close();
}
