package io.flutter.embedding.android;

public class FlutterActivity extends android.app.Activity {
    public void configureFlutterEngine(io.flutter.embedding.engine.FlutterEngine engine) {}
}
