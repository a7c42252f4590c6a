"""A ResNet of PyTorch's on 4,000 digits, with AdamW and with IVON.

    pip install 'natgrad[torch]'
    python torch_resnet.py
"""

import time
from itertools import chain

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import natgrad

EPOCHS, ROWS = 6, 50


class BasicBlock(nn.Module):
    def __init__(self, channels, out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        found = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(found + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, widths=(16, 32)):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        pairs = zip(widths, widths[1:], strict=False)
        self.blocks = nn.Sequential(BasicBlock(widths[0], widths[0]), *(BasicBlock(a, b, 2) for a, b in pairs))
        self.fc = nn.Linear(widths[-1], 10)

    def forward(self, images):
        return self.fc(self.blocks(self.stem(images)).mean((2, 3)))


def loss(module, batch):
    images, labels = batch
    return F.cross_entropy(module(images), labels)


def train(module, rule, rows):
    """A trained model: the step, its last state and the model."""
    loader = DataLoader(rows, batch_size=ROWS, shuffle=True, drop_last=True)
    steps = EPOCHS * len(loader)
    model = natgrad.from_torch(module, loss)
    step = model.compile(next(iter(loader)), rule=rule, task="classes", labels=1, schedule="cosine", steps=steps)
    start = time.time()
    batches = chain.from_iterable(loader for _ in range(EPOCHS))
    state, history = step.run(step.init(model.params), batches, steps=steps)
    print(f"{step}: {steps} steps in {time.time() - start:.1f} s, the last loss is {history[-1]['loss']:.4f}")
    return step, state, model


def main():
    torch.manual_seed(0)
    digits = natgrad.data("mnist-sample")
    x, x_test = (torch.from_numpy(part).permute(0, 3, 1, 2).contiguous() for part in (digits.x_train, digits.x_test))
    y, y_test = torch.from_numpy(digits.y_train.astype(np.int64)), digits.y_test
    rows = TensorDataset(x, y)
    # Chosen on 800 of the training rows.
    adamw = natgrad.AdamW(lr=1e-2, weight_decay=1e-2)
    ivon = natgrad.Ivon(lr=2.0, ess=len(x), hess_init=50.0, beta2=0.995, weight_decay=1e-3)
    runs = {
        "linear, AdamW": (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), adamw, [0]),
        "ResNet, AdamW": (ResNet(), adamw, [0]),
        "ResNet, IVON": (ResNet(), ivon, [0, 16]),
    }
    table = []
    for name, (module, rule, counts) in runs.items():
        step, state, model = train(module, rule, rows)
        posterior = step.posterior(state)
        for samples in counts:
            found = posterior.predict(model.predict, x_test, samples=samples)
            nll = -np.log(found.mean[np.arange(len(y_test)), y_test]).mean()
            where = f", {samples} samples" if samples else ", at the mean" if len(counts) > 1 else ""
            table.append((name + where, (found.classes == y_test).mean(), nll))

    print(f"\n{'on ' + str(len(y_test)) + ' other digits':28}{'accuracy':>10}{'NLL':>10}")
    for name, accuracy, nll in table:
        print(f"{name:28}{accuracy:10.1%}{nll:10.4f}")

    # The trained mean is the module's own again.
    module.load_state_dict(model.state_dict(posterior.mean(), step.carried(state)))
    with torch.no_grad():
        accuracy = (module.eval()(x_test).argmax(1).numpy() == y_test).mean()
    print(f"\nPyTorch itself, with the mean of IVON: {accuracy:.1%}")


if __name__ == "__main__":
    main()
