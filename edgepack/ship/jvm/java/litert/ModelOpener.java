package edgepack.module;

/** The one runtime that this module carries. */
final class ModelOpener {
    private ModelOpener() {}

    static ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        return LiteRt.open(files, manifest, threads);
    }
}
