"""The step as one writes it in PyTorch: modules, eager, the optimizers' defaults."""

import math

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
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), a["lr"], (a["beta1"], a["beta2"]), a["eps"], a["weight_decay"], fused=True
            )
        elif rule == "ivon":
            # Not where only AdamW is timed: not every machine has it.
            import ivon

            self.optimizer = ivon.IVON(self.model.parameters(), **IVON)
        else:
            raise ValueError(f"no rule {rule}: adamw, ivon")
        self.sampled = rule == "ivon"

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def loss(self):
        self.optimizer.zero_grad()
        with torch.autocast(self.setting.device, torch.bfloat16, enabled=self.setting.precision == "bf16"):
            logits = self.model(self.x)
            loss = F.cross_entropy(logits.view(-1, logits.shape[-1]), self.y.view(-1))
        loss.backward()
        return loss

    def run(self, steps):
        for _ in range(steps):
            if self.sampled:
                with self.optimizer.sampled_params(train=True):
                    loss = self.loss()
            else:
                loss = self.loss()
            self.optimizer.step()
        if self.setting.device == "cuda":
            # The loss is there before the last update is.
            torch.cuda.synchronize()
        return loss.item()
