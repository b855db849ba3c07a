package android.app;

public class Activity extends android.content.Context {
    protected void onCreate(android.os.Bundle savedInstanceState) {}

    protected void onDestroy() {}

    public void setContentView(android.view.View view) {}

    @Override
    public android.content.Context getApplicationContext() {
        return this;
    }

    @Override
    public android.content.res.AssetManager getAssets() {
        return null;
    }

    @Override
    public java.io.File getCacheDir() {
        return null;
    }
}
