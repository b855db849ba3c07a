package com.facebook.react.module.model;

public final class ReactModuleInfo {
    public ReactModuleInfo(
            String name, String className, boolean canOverrideExistingModule, boolean needsEagerInit, boolean isCxxModule, boolean isTurboModule) {}
}
