"""The step as one writes it in PyTorch: modules, the optimizers' defaults, eager or through `torch.compile`."""

import math
from contextlib import contextmanager

import torch
import torch.nn as nn
import torch.nn.functional as F

from workloads import ADAMW, IVON, Gpt, Mlp, ResNet, Setting, batch


def device(setting):
    """The device that PyTorch computes on, and why not if there is none."""
    if setting.device == "cpu":
        return "cpu", None
    if not torch.cuda.is_available():
        return None, f"torch {torch.__version__} sees no CUDA GPU"
    return torch.cuda.get_device_name(0), None


def perceptron(spec):
    layers = []
    for i, o in zip(spec.sizes, spec.sizes[1:]):
        layers += [nn.Linear(i, o), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Frn(nn.Module):
    """Filter response normalization with its thresholded linear unit (Singh and Krishnan 2020)."""

    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, width, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.tau = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x):
        x = x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + 1e-6)
        return torch.max(x * self.gamma + self.beta, self.tau)


class Block(nn.Module):
    def __init__(self, before, width):
        super().__init__()
        stride = 1 if before == width else 2
        self.conv1, self.frn1 = nn.Conv2d(before, width, 3, stride, 1, bias=False), Frn(width)
        self.conv2, self.frn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), Frn(width)
        self.short = nn.Identity() if stride == 1 else nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, x):
        return self.frn2(self.conv2(self.frn1(self.conv1(x)))) + self.short(x)


class ResNet20(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), Frn(16))
        blocks, before = [], 16
        for width in (16, 32, 64):
            for _ in range(spec.blocks):
                blocks.append(Block(before, width))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.out = nn.Linear(64, spec.classes)

    def forward(self, x):
        return self.out(self.blocks(self.stem(x)).mean((2, 3)))


class GptBlock(nn.Module):
    def __init__(self, spec):
        super().__init__()
        w = spec.width
        self.heads = spec.heads
        self.ln1, self.qkv, self.proj = nn.LayerNorm(w), nn.Linear(w, 3 * w), nn.Linear(w, w)
        self.ln2, self.up, self.down = nn.LayerNorm(w), nn.Linear(w, 4 * w), nn.Linear(4 * w, w)

    def forward(self, x):
        b, t, w = x.shape
        split = lambda part: part.view(b, t, self.heads, w // self.heads).transpose(1, 2)
        q, k, v = (split(part) for part in self.qkv(self.ln1(x)).split(w, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, w))
        return x + self.down(F.gelu(self.up(self.ln2(x))))


class GptModel(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.tokens = nn.Embedding(spec.vocab, spec.width)
        self.positions = nn.Parameter(torch.zeros(spec.time, spec.width))
        self.layers = nn.Sequential(*[GptBlock(spec) for _ in range(spec.layers)])
        self.norm = nn.LayerNorm(spec.width)
        self.out = nn.Linear(spec.width, spec.vocab, bias=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                small = name.endswith(("proj.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * spec.layers) if small else 0.02)
        if not spec.untied:
            self.out.weight = self.tokens.weight

    def forward(self, tokens):
        return self.out(self.norm(self.layers(self.tokens(tokens) + self.positions)))


MODELS = {Mlp: perceptron, ResNet: ResNet20, Gpt: GptModel}


class Ivon:
    """IVON as its algorithm is printed (Shen et al. 2024, Alg. 1; ivon-opt's conventions), each of its two parts compiled."""

    def __init__(self, params):
        self.params = list(params)
        self.mean, self.sample = [p.detach().clone() for p in self.params], [p.data for p in self.params]
        self.momentum = [torch.zeros_like(m) for m in self.mean]
        self.hess = [torch.full_like(m, IVON["hess_init"]) for m in self.mean]
        # A tensor: a number that changes would be compiled anew.
        self.steps = torch.zeros((), device=self.mean[0].device)

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    @contextmanager
    def sampled_params(self, train):
        assert train, "a step trains"
        ivon_sample(self.mean, self.sample, self.hess)
        yield

    def step(self):
        ivon_update(self.mean, self.sample, self.momentum, self.hess, [p.grad for p in self.params], self.steps)


@torch.compile
def ivon_sample(mean, sample, hess):
    for m, p, h in zip(mean, sample, hess):
        p.copy_(m + torch.randn_like(m) * torch.rsqrt(IVON["ess"] * (h + IVON["weight_decay"])))


@torch.compile
def ivon_update(mean, sample, momentum, hess, grads, steps):
    ess, delta, b1, b2 = IVON["ess"], IVON["weight_decay"], IVON["beta1"], IVON["beta2"]
    lr = IVON["lr"] * (IVON["hess_init"] + delta)
    steps += 1
    bias = 1 - b1**steps
    for m, p, g, h, grad in zip(mean, sample, momentum, hess, grads):
        hat = grad * (p - m) * ess * (h + delta)
        g.copy_(b1 * g + (1 - b1) * grad)
        h.copy_(b2 * h + (1 - b2) * hat + (1 - b2) ** 2 * (h - hat) ** 2 / (2 * (h + delta)))
        m.copy_(m - lr * (g / bias + delta * m) / (h + delta))


class Step:
    """One workload with one rule: `run` makes steps; gives the last one's loss."""

    def __init__(self, spec, rule, setting=Setting(), channels_last=True):
        reason = device(setting)[1]
        if reason:
            raise ValueError(f"no {setting.device} for PyTorch: {reason}")
        self.setting = setting
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = setting.precision == "tf32"
        torch.manual_seed(1)
        self.model = MODELS[type(spec)](spec)
        x, y = (torch.from_numpy(array.copy()) for array in batch(spec))
        if isinstance(spec, ResNet):
            x = x.permute(0, 3, 1, 2)
            layout = torch.channels_last if channels_last else torch.contiguous_format
            self.model, x = self.model.to(memory_format=layout), x.contiguous(memory_format=layout)
        x, y = (x.long() if isinstance(spec, Gpt) else x), y.long()
        self.model, self.x, self.y = self.model.to(setting.device), x.to(setting.device), y.to(setting.device)
        if rule == "adamw":
            a = ADAMW
            # The fused kernel cannot be compiled; a compiled step is one of its own.
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), a["lr"], (a["beta1"], a["beta2"]), a["eps"], a["weight_decay"],
                fused=not setting.compiled, foreach=setting.compiled,
            )  # fmt: skip
        elif rule == "ivon" and setting.compiled:
            self.optimizer = Ivon(self.model.parameters())
        elif rule == "ivon":
            # Not where only AdamW is timed: not every machine has it.
            import ivon

            self.optimizer = ivon.IVON(self.model.parameters(), **IVON)
        else:
            raise ValueError(f"no rule {rule}: adamw, ivon")
        self.sampled = rule == "ivon"
        self.forward, self.update = self.loss_of_batch, self.optimizer.step
        if setting.compiled:
            self.forward = torch.compile(self.loss_of_batch)
            # Ivon compiles its own two parts.
            self.update = self.update if self.sampled else torch.compile(self.update)

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def loss_of_batch(self):
        with torch.autocast(self.setting.device, torch.bfloat16, enabled=self.setting.precision == "bf16"):
            logits = self.model(self.x)
            return F.cross_entropy(logits.view(-1, logits.shape[-1]), self.y.view(-1))

    def loss(self):
        self.optimizer.zero_grad()
        loss = self.forward()
        loss.backward()
        return loss

    def run(self, steps):
        for _ in range(steps):
            if self.sampled:
                with self.optimizer.sampled_params(train=True):
                    loss = self.loss()
            else:
                loss = self.loss()
            self.update()
        if self.setting.device == "cuda":
            # The loss is there before the last update is.
            torch.cuda.synchronize()
        return loss.item()
