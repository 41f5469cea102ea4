"""3x3 convolutions and pooling."""
import jax


def conv3x3(x, weight, bias):
    y = jax.lax.conv_general_dilated(x.reshape(-1,*x.shape[-3:]), weight, (1,1), "SAME", dimension_numbers=("NHWC","HWIO","NHWC"))+bias
    return y.reshape(*x.shape[:-1], -1)
def max_pool(x):
    y = jax.lax.reduce_window(x.reshape(-1,*x.shape[-3:]), -float("inf"), jax.lax.max, (1,3,3,1),(1,2,2,1),"SAME")
    return y.reshape(*x.shape[:-3],*y.shape[1:])
