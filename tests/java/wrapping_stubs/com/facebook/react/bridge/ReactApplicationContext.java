package com.facebook.react.bridge;

public abstract class ReactApplicationContext extends android.content.Context {}
