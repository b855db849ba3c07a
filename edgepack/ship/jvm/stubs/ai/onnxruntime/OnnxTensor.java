package ai.onnxruntime;

public class OnnxTensor extends OnnxTensorLike {
    public native java.nio.FloatBuffer getFloatBuffer();

    @Override
    public native TensorInfo getInfo();

    @Override
    public native void close();

    public static native OnnxTensor createTensor(OrtEnvironment environment, java.nio.LongBuffer data, long[] shape) throws OrtException;

    public static native OnnxTensor createTensor(OrtEnvironment environment, java.nio.FloatBuffer data, long[] shape) throws OrtException;

    public static native OnnxTensor createTensor(OrtEnvironment environment, java.nio.ByteBuffer data, long[] shape, OnnxJavaType type)
            throws OrtException;
}
