"""The inner optimizers that a recipe may hold."""

from fewstep.inner.adagrad import Adagrad
from fewstep.inner.adam import Adam
from fewstep.inner.momentum import Momentum
from fewstep.inner.rmsprop import RMSprop
from fewstep.inner.sgd import SGD

InnerOptimizerSpec = SGD | Momentum | Adagrad | RMSprop | Adam
