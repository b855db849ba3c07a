package edgepack.module;

/** The one runtime that this module carries. */
final class ModelOpener {
    private ModelOpener() {}

    /** PackException too where the runtime's classes or its library are missing. */
    static ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        try {
            return OnnxRuntime.open(files, manifest, threads);
        } catch (LinkageError error) {
            String where = ": the module's README.md names the library that belongs beside it, for this machine's processor (";
            throw new PackException("onnxruntime's Java library cannot be loaded" + where + error + ")", error);
        }
    }
}
