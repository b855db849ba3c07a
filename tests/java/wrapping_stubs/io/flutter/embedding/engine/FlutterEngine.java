package io.flutter.embedding.engine;

public class FlutterEngine {
    public io.flutter.embedding.engine.dart.DartExecutor getDartExecutor() {
        return null;
    }
}
