package ai.onnxruntime;

public final class OrtEnvironment implements AutoCloseable {
    public static native OrtEnvironment getEnvironment();

    public static native java.util.EnumSet<OrtProvider> getAvailableProviders();

    public native String getVersion();

    public native void setTelemetry(boolean sendTelemetry) throws OrtException;

    public native OrtSession createSession(java.nio.ByteBuffer model, OrtSession.SessionOptions options) throws OrtException;

    @Override
    public native void close();
}
