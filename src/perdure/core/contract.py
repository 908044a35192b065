import inspect, json
class Contract:
    @classmethod
    def of(cls, fn):
        self=cls(); self.sig=inspect.signature(fn); self.is_async=inspect.iscoroutinefunction(fn); self.is_generator=False
        self.injected={n:p.annotation for n,p in self.sig.parameters.items() if 'Context' in str(p.annotation)}
        self.inputs={n:p.annotation for n,p in self.sig.parameters.items() if n not in self.injected}
        return self
    def encode_input(self, codec, args, kwargs):
        sig=self.sig.replace(parameters=[p for n,p in self.sig.parameters.items() if n not in self.injected])
        return codec.encode(dict(sig.bind(*args,**kwargs).arguments))
    def decode_input(self, codec, text): return (), codec.decode(text)
    def encode_output(self, codec, v): return codec.encode(v, at="result")
    def decode_output(self, codec, t): return codec.decode(t)
