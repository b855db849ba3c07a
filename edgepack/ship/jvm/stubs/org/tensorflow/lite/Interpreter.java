package org.tensorflow.lite;

import java.util.Map;

public final class Interpreter implements AutoCloseable {
    public static class Options {
        public native Options setNumThreads(int threads);
    }

    public Interpreter(java.nio.ByteBuffer model, Options options) {}

    public native Tensor getOutputTensorFromSignature(String name, String signature);

    public native void runSignature(Map<String, Object> inputs, Map<String, Object> outputs, String signature);

    @Override
    public native void close();
}
