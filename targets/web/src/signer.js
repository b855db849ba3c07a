// The key whose signature this module asks for: ed25519, 64 hexadecimal digits; empty where the module was shipped unsigned. It stands
// in the code and not beside the model: who can exchange the model could exchange a key beside it as well. It proves who wrote
// module.json, and with it the hash of every model file; not that this code is untouched.
export const PUBLIC_KEY = "";
