package ai.onnxruntime;

import java.util.Map;
import java.util.Optional;
import java.util.Set;

public class OrtSession implements AutoCloseable {
    public native Result run(Map<String, ? extends OnnxTensorLike> inputs) throws OrtException;

    public native Result run(
            Map<String, ? extends OnnxTensorLike> inputs, Set<String> requested, Map<String, ? extends OnnxValue> pinned) throws OrtException;

    public native String endProfiling() throws OrtException;

    @Override
    public native void close() throws OrtException;

    public static class Result implements AutoCloseable {
        public native Optional<OnnxValue> get(String name);

        @Override
        public native void close();
    }

    public static class SessionOptions implements AutoCloseable {
        public enum OptLevel {
            NO_OPT,
            BASIC_OPT,
            EXTENDED_OPT,
            ALL_OPT
        }

        public native void setOptimizationLevel(OptLevel level) throws OrtException;

        public native void setInterOpNumThreads(int threads) throws OrtException;

        public native void setIntraOpNumThreads(int threads) throws OrtException;

        public native void addConfigEntry(String name, String value) throws OrtException;

        public native void addExternalInitializers(Map<String, OnnxTensorLike> initializers) throws OrtException;

        public native void enableProfiling(String filePath) throws OrtException;

        public native void addNnapi() throws OrtException;

        public native void addQnn(Map<String, String> providerOptions) throws OrtException;

        public native void addXnnpack(Map<String, String> providerOptions) throws OrtException;

        @Override
        public native void close();
    }
}
