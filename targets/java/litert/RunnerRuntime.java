package edgepack.module;

/** LiteRT as an app has it: one text at a time, and no text is written. */
final class RunnerRuntime implements Jobs.Opener {
    static final String NAME = "litert";

    /** null: LiteRT's Java tells no version. */
    static String version() {
        return null;
    }

    @Override
    public ModelRuntime open(ModuleFiles files, Manifest manifest, int threads) {
        return LiteRt.open(files, manifest, threads);
    }

    @Override
    public float[] scores(ModelRuntime runtime, Manifest manifest, int[] ids) {
        throw new Refused("LiteRT's Java writes no text", "measure on this machine: --on local");
    }

    @Override
    public void forget(ModelDecoder decoder, int length) {
        throw new Refused("LiteRT's Java writes no text", "measure on this machine: --on local");
    }
}
