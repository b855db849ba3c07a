package io.flutter.embedding.engine.dart;

public class DartExecutor {
    public io.flutter.plugin.common.BinaryMessenger getBinaryMessenger() {
        return null;
    }
}
