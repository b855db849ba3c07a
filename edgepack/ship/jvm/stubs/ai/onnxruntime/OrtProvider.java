package ai.onnxruntime;

public enum OrtProvider {
    CPU;

    public native String getName();
}
